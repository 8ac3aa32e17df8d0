from snakecap import provenance
from snakecap.stages.detect import detect

if __name__ == "__main__":
    provenance.run(detect)
