from snakecap import provenance
from snakecap.stages.references import references

if __name__ == "__main__":
    provenance.run(references)
