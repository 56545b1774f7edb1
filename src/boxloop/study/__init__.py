"""Studies: which ordering, which features, which detector saves most work on a dataset with truth.

A *study* is a grid of *cells*. A cell is one whole simulated campaign: one ordering by one kind of
features, one detector, one seed. Its folder is laid out as a campaign's, so every number of the
tables can be computed anew from its proposals and the truth.

    spec     study.yaml as strict objects
    grid     from the spec to the cells, and what each of them depends on
    material datasets: the whole one, one per class, the test set
    campaigns  the datasets, the cells and the folders of one study
    jobs     everything there is to compute, each thing once: SimNet, features, orders, cells
    cell     one campaign, turn by turn
    worker   the process that computes; pool   several of them
    computing  jobs in the pool;  live   finished cells on their way to MLflow
    results  the rows of results.csv;  compare   means, intervals, paired differences
    tables, figures, page, paper              what people read
    run      all of it in order
"""
