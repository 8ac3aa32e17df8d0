from snakecap import provenance
from snakecap.stages.features import features

if __name__ == "__main__":
    provenance.run(features)
