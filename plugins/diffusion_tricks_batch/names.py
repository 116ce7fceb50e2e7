from pathlib import Path


def home_of(t):
    return Path(t) if not t.endswith(".png") else Path(t.split("{")[0])


def name_of(t, job, seed, index):
    return home_of(t) / f"{job.id}.png"


def check_names(jobs, t):
    pass
