"""Worked examples with real models: `miniqueue worker --import miniqueue.examples.story`.

digits.py runs many small questions in one call, story.py sends text as it comes, train.py goes on
after kill -9. digits and train need scikit-learn: pip install 'miniqueue[ai]'.
"""
