from snakecap.steps.layout import layout
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(layout)
