from snakecap.steps.report import report
from snakecap.workflow.job import run

if __name__ == "__main__":
    run(report)
