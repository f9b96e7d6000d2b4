"""Random streams: disjoint by purpose, the same for the same words."""

from worldmodels.config import describe
from worldmodels.seeds import COLLECTION_SEEDS, REPORT_SEEDS, SELECTION_SEEDS, episode_seeds, generator, integer_seed


def test_episodes_that_report_a_score_never_trained_or_selected_it():
    ranges = (COLLECTION_SEEDS, SELECTION_SEEDS, REPORT_SEEDS)
    for index, one in enumerate(ranges):
        for other in ranges[index + 1 :]:
            assert one.stop <= other.start or other.stop <= one.start


def test_streams_of_other_words_differ_and_of_the_same_words_do_not():
    words = [("train_vae", 1), ("train_vae", 2), ("train_mdn_rnn", 1), ("train_vae", 1, "chunks")]
    assert len({generator(*word).integers(2**62) for word in words}) == 4
    assert integer_seed("a", 1) == integer_seed("a", 1) != integer_seed("a", 2)
    assert integer_seed("a", 1) > 0


def test_more_episodes_keep_the_first_ones():
    few = episode_seeds(REPORT_SEEDS, "report", 1, count=50)
    assert episode_seeds(REPORT_SEEDS, "report", 1, count=200)[:50] == few
    assert len(set(few)) == 50 and all(seed in REPORT_SEEDS for seed in few)


def test_schema_and_table_of_options_are_up_to_date():
    """They are generated from the typed configuration; run `make schema` when this fails."""
    assert describe.SCHEMA.read_text() == describe.schema_text()
    assert describe.OPTIONS_PAGE.read_text() == describe.options_text()
