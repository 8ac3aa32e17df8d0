from snakecap import provenance
from snakecap.stages.annotations import annotations

if __name__ == "__main__":
    provenance.run(annotations)
