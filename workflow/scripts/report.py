from snakecap import provenance
from snakecap.stages.report import report

if __name__ == "__main__":
    provenance.run(report)
