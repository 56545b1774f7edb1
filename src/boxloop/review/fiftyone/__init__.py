"""Review proposals in the FiftyOne App.

session.py         the terminal's side: starts and ends everything
app_process.py     the App's process, as the terminal sees it
addresses.py       its addresses, and the password for other machines
session_inputs.py  files of the campaign -> the images to review (assignment.py)
session_registry.py  which session has which images open

server.py          the App's process: sync.py (brings the dataset up to date), review_dataset.py
                   (the dataset while people edit it), controller.py (progress, checks, submission,
                   workload by live_workload.py), operators.py (what the App's buttons call),
                   app_view.py and plugins/ (what the App shows)
guard/             who gets into the App, and what gets through to FiftyOne
sample_documents.py  one image in the database; shown_proposals.py: the proposals shown there;
                   review_status.py: whether it is reviewed, and its active time

mongodb.py         opens the database; mongod_keeper.py: the process that runs it;
                   database_socket.py: where it listens; install_mongod.py: sets it up where
                   none runs; file_lock.py: their locks
"""
