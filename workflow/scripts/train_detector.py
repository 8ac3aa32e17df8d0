from snakecap import provenance
from snakecap.stages.train_detector import train_detector

if __name__ == "__main__":
    provenance.run(train_detector)
