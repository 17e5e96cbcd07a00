"""`pixq study`: its verbs, one function each. Each is named here and imported when it is run."""

from __future__ import annotations

from cyclopts import App

__all__ = ["VERBS", "study"]

# Named, not imported, as the verbs of pixq are. In the order in which a study needs them.
VERBS = {
    "demo": ("pixq.cli.study_offline:demo", "Take part in a small study on this machine."),
    "new": ("pixq.cli.study_files:new", "Write study.toml about the images of a folder tree."),
    "check": (
        "pixq.cli.study_files:check",
        "Decode every image; estimate how long a session takes and what the study costs.",
    ),
    "simulate": (
        "pixq.cli.study_simulate:simulate",
        "Rehearse with simulated people, and judge whether the planned answers are enough.",
    ),
    "serve": ("pixq.cli.study_serve:serve", "Serve a study to its participants."),
    "links": ("pixq.cli.study_serve:links", "Print links, one per participant."),
    "status": ("pixq.cli.study_answers:status", "Print how far a study is."),
    "export": ("pixq.cli.study_answers:export", "Write answers and sessions as CSV and Parquet, with a dictionary."),
    "who": ("pixq.cli.study_serve:who", "Print what a person did, to approve or reject a submission."),
    "withdraw": ("pixq.cli.study_serve:withdraw", "Delete all answers of a person."),
    "build": ("pixq.cli.study_offline:build", "Write one HTML file that runs from disk, without a server."),
    "import": ("pixq.cli.study_offline:import_", "Import the answers from files of build."),
    "import-amt": ("pixq.cli.study_amt:import_amt", "Read result files of the earlier framework."),
}

study = App(name="study", help_format="plaintext", result_action="return_value")
for name, (function, what) in VERBS.items():
    study.command(function, name=name, help=what)
