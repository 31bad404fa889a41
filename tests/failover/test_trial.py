"""The judgements, on samples made by hand: `python3 -m unittest discover tests/failover`."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "rig")]

from trial import endpoints, envoy, figures, goals, report, samples, shares, summary, targets  # noqa: E402
from trial.ground import FAR, HOME, NEAR, REPLICAS, Trouble  # noqa: E402


def sample(due, place=HOME, kind="ok", took=0.002):
    return samples.Sample(due, took, kind, place, False)


class Figures(unittest.TestCase):
    def test_first_is_the_answer_that_ended_first_from_where_it_had_to_come(self):
        found = figures.of([sample(100.0), sample(100.1, NEAR, took=0.5), sample(100.2, FAR, took=0.15)], "F1", 100.0, 110.0)
        self.assertAlmostEqual(found["first_s"], 0.35)
        self.assertEqual((found["sent"], found["failed"], found["clean_s"]), (3, 0, 0.0))

    def test_a_failure_in_flight_when_a_fault_came_is_this_faults(self):
        harmed = sample(99.9, "-", "reset", took=0.2)
        stuck = sample(99.0, "-", "answer-timeout", took=2.0)
        before, after = (figures.of([harmed, stuck], step, begin, begin + 100) for step, begin in (("settle", 0.0), ("F1", 100.0)))
        self.assertEqual(before["how"], {"answer-timeout": 1})
        self.assertEqual(after["how"], {"reset": 1})

    def test_what_still_fails_at_the_end_is_never_clean(self):
        rows = [sample(100 + i / 10, "-" if i % 2 else HOME, "refused" if i % 2 else "ok") for i in range(100)]
        self.assertIsNone(figures.of(rows, "F4", 100.0, 110.0)["clean_s"])
        rows = [sample(100 + i / 10, HOME, "refused" if i == 20 else "ok") for i in range(100)]
        self.assertAlmostEqual(figures.of(rows, "F4", 100.0, 110.0)["clean_s"], 2.0)


class Shares(unittest.TestCase):
    def seconds(self, *parts):
        """Of 200 answers a second, so many percent from home."""
        rows = []
        for second, part in enumerate(parts):
            rows += [sample(1000 + second + i / 200, HOME if i < part * 2 else NEAR) for i in range(200)]
        return shares.by_second(rows, 1000.0, 1000.0 + len(parts))

    def test_all_to_the_first_ready_pod_is_more_than_its_share(self):
        changes = [(999.0, 0), (1001.5, 1), (1002.5, 2), (1003.5, REPLICAS[HOME])]
        found = shares.beyond_ready(self.seconds(0, 100, 100, 100), changes, 1000.0)
        self.assertEqual([(second, ready) for second, _, ready in found], [(1, 1), (2, 2)])
        self.assertEqual(shares.beyond_ready(self.seconds(0, 5, 10, 100), changes, 1000.0), [])

    def test_chance_is_not_taken_for_excess(self):
        half = [(999.0, REPLICAS[HOME] // 2)]
        self.assertEqual(shares.beyond_ready(self.seconds(58), half, 1000.0), [])
        self.assertEqual(len(shares.beyond_ready(self.seconds(65), half, 1000.0)), 1)

    def test_the_largest_number_ready_counts_and_what_was_in_force_before(self):
        changes = [(10.0, 5), (11.2, 9), (11.8, 3)]
        self.assertEqual(shares.most_ready(changes, 11.0, 12.0), 9)
        self.assertEqual(shares.most_ready(changes, 12.0, 13.0), 3)
        self.assertEqual(shares.most_ready(changes, 9.0, 10.0), 0)

    def test_full_again_wants_three_seconds(self):
        seconds = self.seconds(0, 30, 100, 60, 70, 66, 68, 70)
        self.assertEqual(shares.full_again(seconds, HOME, 0.75), 2)
        self.assertIsNone(shares.full_again(seconds, HOME, 1.0))


class Files(unittest.TestCase):
    def test_half_a_line_is_no_sample(self):
        whole = samples.parse("1763900000000001\t1234\tok\t200\tus-west\tkept\t0")
        self.assertEqual((whole.place, whole.kept, whole.good), (HOME, True, True))
        self.assertIsNone(samples.parse("1763900000000001\t1234\tok\t200"))

    def test_no_request_falls_between_two_steps(self):
        steps = summary.contiguous([{"begin": 1.0, "until": 5.0}, {"begin": 5.2, "until": 9.0}])
        self.assertEqual([s["until"] for s in steps], [5.2, 9.0])

    def test_watch_events_are_found_however_the_output_is_cut(self):
        text = '{"type":"ADDED",\n "object":{"a":"}{"}}\n{"type":"DELETED","object":{}}\n'
        for size in (1, 7, 1000):
            pieces = [text[i:i + size] for i in range(0, len(text), size)]
            self.assertEqual([e["type"] for e in endpoints.events(pieces)], ["ADDED", "DELETED"])

    def test_an_endpoint_without_a_condition_is_ready(self):
        slices = {"a": {"endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}]},
                  "b": {"endpoints": [{"addresses": ["10.0.0.3"], "conditions": {"ready": False}}]}, "c": {"endpoints": None}}
        self.assertEqual(endpoints.ready_addresses(slices), ["10.0.0.1", "10.0.0.2"])


class Envoy(unittest.TestCase):
    def test_priorities_begin_with_0_when_no_pod_is_ready(self):
        tiers = envoy.assignment([], 7)["resources"][0]["endpoints"]
        self.assertEqual([(t["locality"]["region"], t["priority"]) for t in tiers], [(NEAR, 0), (FAR, 1)])
        tiers = envoy.assignment(["10.11.1.2"], 8)["resources"][0]["endpoints"]
        self.assertEqual([(t["locality"]["region"], t["priority"]) for t in tiers], [(HOME, 0), (NEAR, 1), (FAR, 2)])


class Tables(unittest.TestCase):
    def test_a_goal_that_one_cycle_missed_is_not_reached(self):
        def cycle(failed, first):
            step = {"failed": failed, "first_s": first}
            return {"steps": [{"step": "F1", "first_gone_s": 0.5}], "targets": {goals.TARGET: {"F1": step}}}
        rows = {goal: ok for goal, _, ok in goals.judged([cycle(0, 0.2), cycle(1, 0.8)])}
        self.assertEqual(rows["F1: no failed request"], False)
        self.assertEqual(rows["F1: first right answer within 0.35 s"], False)
        self.assertEqual(rows["F1: the same, from when the first pod had ended"], True)

    def test_what_never_happened_is_said(self):
        self.assertEqual(report.span([1.0, None, 3.0], 1), "2.0 [1.0..3.0], never in 1 of 3")
        self.assertEqual(report.span([None], 1), "never")

    def test_targets_that_mean_nothing_are_refused(self):
        for wrong in ("", "strait,strait", "strait,envoy-tuned,envoy-istio", "nginx"):
            with self.assertRaises(Trouble):
                targets.chosen(wrong)


if __name__ == "__main__":
    unittest.main()
