"""Settings of nbgrader for the problem sets; tools/grade.py reads them, and so does nbgrader's formgrader."""

config = get_config()  # noqa: F821

config.CourseDirectory.course_id = "vae"

# The limits of one submission: seconds for a cell, seconds for the notebook, bytes of memory.
config.LockedExecute.timeout = 60
config.LockedExecute.notebook_timeout = 240
config.LockedExecute.memory = 4 << 30

config.ClearSolutions.code_stub = {"python": "# Your code here\nraise NotImplementedError"}
config.ClearSolutions.text_stub = "*Your answer here.*"

# Students keep the ids of their cells; nbgrader checks that questions and tests are as they were released.
config.ClearHiddenTests.begin_test_delimeter = "### BEGIN HIDDEN TESTS"
config.ClearHiddenTests.end_test_delimeter = "### END HIDDEN TESTS"
