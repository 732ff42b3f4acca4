"""Results: a report and its figures, whether they agree, comparisons and gates."""
