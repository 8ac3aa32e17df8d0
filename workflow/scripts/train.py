from snakecap import provenance
from snakecap.stages.train import train

if __name__ == "__main__":
    provenance.run(train)
