from snakecap import provenance
from snakecap.stages.encode import encode

if __name__ == "__main__":
    provenance.run(encode)
