"""`python -m miniqueue.classroom.grading FOLDER` judges the answer on standard input."""

import sys

from miniqueue.classroom.grading.process import main

sys.exit(main())
