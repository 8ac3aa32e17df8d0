from snakecap import provenance
from snakecap.stages.resize import resize

if __name__ == "__main__":  # its worker processes import this file
    provenance.run(resize)
