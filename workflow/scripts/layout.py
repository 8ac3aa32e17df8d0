from snakecap import provenance
from snakecap.stages.layout import layout

if __name__ == "__main__":
    provenance.run(layout)
