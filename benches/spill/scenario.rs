//! What is played. Each file has one question: the fleet, what happens to it, the claims as tests, and the plots.

pub(crate) mod failing;
pub(crate) mod flap;
pub(crate) mod fleet;
pub(crate) mod herd;
pub(crate) mod short;
pub(crate) mod slow;

use crate::plot::Plot;

/// A plot and the name of its files.
pub(crate) type Named = (String, Plot);

/// Every plot, in the order of the page.
pub(crate) fn plots() -> Vec<Named> {
    [fleet::plots(), herd::plots(), slow::plots(), failing::plots(), short::plots(), flap::plots()]
        .into_iter()
        .flatten()
        .collect()
}
