"""Great Expectations suites as code; `flows.validation` runs them.

Every expectation carries a `description` in words and a `severity`: "critical" stops the run before training,
"warning" lets it pass and is shown; `meta["observed"]` says how to put an observed value into words. Great
Expectations takes seconds to import: import `expectations.labelled_pairs` and `expectations.snapshot` where needed.
"""
