from .api import (
    compare as compare,
)
from .api import (
    extract_features as extract_features,
)
from .api import (
    load_dataset as load_dataset,
)
from .api import (
    order as order,
)
from .api import (
    plan_batches as plan_batches,
)
from .api import (
    propose as propose,
)
from .api import (
    simulate as simulate,
)
from .api import (
    train_detector as train_detector,
)
from .api import (
    workload as workload,
)
from .core.edits import Ledger as Ledger
from .core.types import (
    Batch as Batch,
)
from .core.types import (
    Boxes as Boxes,
)
from .core.types import (
    Corrections as Corrections,
)
from .core.types import (
    FeatureTable as FeatureTable,
)
from .core.types import (
    ImageRef as ImageRef,
)
from .core.types import (
    ImageSet as ImageSet,
)
from .core.types import (
    LabeledSet as LabeledSet,
)
from .core.types import (
    Ordering as Ordering,
)
from .core.types import (
    Proposals as Proposals,
)
from .core.workload import (
    BatchWorkload as BatchWorkload,
)
from .core.workload import (
    CostModel as CostModel,
)
from .core.workload import (
    Totals as Totals,
)
from .datasets import Dataset as Dataset
from .errors import BoxloopError as BoxloopError
from .params import (
    Params as Params,
)
from .params import (
    load_params as load_params,
)
from .study.simulate import Simulation as Simulation

__version__: str
__all__: list[str]
