from snakecap import provenance
from snakecap.stages.judge import judge

if __name__ == "__main__":
    provenance.run(judge)
