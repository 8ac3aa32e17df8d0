from snakecap import provenance
from snakecap.stages.vocabulary import vocabulary

if __name__ == "__main__":
    provenance.run(vocabulary)
