from snakecap import provenance
from snakecap.stages.score import score

provenance.run(score)
