"""People correct proposals in the FiftyOne App.

session.py   the terminal's side: starts and ends everything
preparing.py files of the campaign -> what there is to review (work.py)
server.py    the App's process: board.py (the dataset), desk.py (progress, checks, submission),
             operators.py (what the App's buttons call), plugins/ (the panel)
"""
