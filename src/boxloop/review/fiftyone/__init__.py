"""People correct proposals in the FiftyOne App.

session.py   the terminal's side: starts and ends everything
preparing.py files of the campaign -> what there is to review (work.py)
server.py    the App's process: opening.py (the dataset, brought up to date), board.py (the dataset
             at work), desk.py (progress, checks, submission), operators.py (what the App's buttons
             call), looks.py and plugins/ (what the App shows)
records.py   one image in the database; offers.py: what was shown there; marks.py: what is noted
             about it
"""
