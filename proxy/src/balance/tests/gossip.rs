//! What others tell of a gateway against what was seen of it.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq};

use super::world::{EAST, World};
use crate::health::{Outcome, Usable};

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is told, in whatever order with what is seen: nothing that was ejected is used for it, and no weight
    /// is above the health that was seen.
    #[test]
    fn what_is_told_of_a_gateway_never_raises_its_weight(
        steps in proptest::collection::vec((0..2_usize, any::<bool>(), 0..4_u8), 1..16),
    ) {
        let mut world = World::new(0, 2, 2);
        for (at, ready, seen) in steps {
            world.run(50, 0);
            let (slots, now) = (world.slots(EAST), world.now());
            match seen {
                1 => slots[at].record(Outcome::LinkDead, now),
                2 => slots[at].record(Outcome::Success { latency: std::time::Duration::from_millis(1) }, now),
                3 => slots[at].connected(now),
                _ => {}
            }
            let known = |world: &World| {
                world.slots(EAST).iter().map(|s| (s.id(), s.usable(now), s.health(now))).collect::<Vec<_>>()
            };
            let before = known(&world);
            world.told_of_gateway(EAST, at, ready);
            world.publish();
            prop_assert_eq!(&known(&world), &before, "what was seen stands");
            let route = world.route();
            let east = route.clusters.iter().find(|c| c.id.as_str() == EAST).unwrap();
            for candidate in &east.targets.candidates {
                prop_assert!(f64::from(candidate.effective()) <= candidate.slot.health(now) + 1e-6);
            }
            if before.iter().all(|(_, usable, _)| *usable != Usable::Yes) {
                prop_assert!(world.share(EAST) < 1e-6, "nothing goes where nothing was seen to answer");
            }
        }
    }
}
