from snakecap import provenance
from snakecap.stages.download import download

if __name__ == "__main__":
    provenance.run(download)
