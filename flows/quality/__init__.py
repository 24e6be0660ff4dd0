"""Whether the champion orders freshly labelled lists worse than it did when it was judged.

**Like with like.** How high NDCG@10 comes out depends on the list: a coin gets .82 for one relevant document of two,
and .38 for one of twelve. So NDCG is corrected for chance, and fresh lists are compared with recorded ones of their
own kind alone (as many candidates and relevant documents), since even the corrected value of one and the same model
differs between kinds (about .79 for one of two, .66 for one of twelve). Lists of a kind that the record does not know
are counted and not compared: the champion has no record on them.

**By more than chance explains.** A permutation test within each kind, with every fresh query weighing the same, and a
smallest drop below which nothing is announced.

**However often one looks.** Labels arrive in a trickle and the watch looks daily; each look at a growing heap is
another chance for a false alarm. So the fresh queries are judged when there are enough of them, and again whenever
they have doubled, each time the oldest `min_queries * 2**(k-1)`. The k-th look gets 1/(k(k+1)) of the false alarm
rate, which adds up to the rate over all looks there can ever be; in between, the same queries give the same verdict.
"""

from flows.quality.judging import judge
from flows.quality.lists import corrected, expected_ndcg, kinds
from flows.quality.report import KindResult, QualityReport
from flows.quality.selection import Selection, select

__all__ = ["KindResult", "QualityReport", "Selection", "corrected", "expected_ndcg", "judge", "kinds", "select"]
