from snakecap import provenance
from snakecap.stages.caption import caption

if __name__ == "__main__":
    provenance.run(caption)
