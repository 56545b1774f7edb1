"""Compare orderings, features and detectors by simulated campaigns.

A *study* is a grid of *cells*. A cell is one whole simulated campaign: one ordering by one kind of
features, one detector, one seed. Its folder is laid out as a campaign's, so every number of the
tables can be computed again from its proposals and the ground truth.

    spec        study.yaml, and the parameters of each cell
    grid        the axes, the cells, and what each cell depends on
    datasets    the whole dataset, its part of each class, the test set
    study       the datasets, cells and folders of one study
    jobs        what is to be computed, each thing once: SimNet, features, orders, cells
    work        one of them, in a worker process (see ``boxloop.distributed``)
    cell        one campaign, turn by turn;  cell_files  its files
    computing   the pending cells in parallel;  tracking  finished cells in MLflow
    results     the rows of results.csv;  statistics  means, intervals, paired tests
    tables, figures, published   the tables and figures, also with the paper's numbers
    report      writes them;  run  everything in order
"""
