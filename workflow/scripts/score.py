from snakecap import provenance
from snakecap.stages.score import score

if __name__ == "__main__":
    provenance.run(score)
