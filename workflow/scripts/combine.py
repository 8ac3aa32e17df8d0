from snakecap import provenance
from snakecap.stages.combine import combine

if __name__ == "__main__":
    provenance.run(combine)
