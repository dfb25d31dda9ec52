"""What a learning-rate schedule is: a frozen value of a small grammar, bound to a horizon, evaluated by step."""

from schedules.codec import AnySchedule, from_dict, to_dict
from schedules.combine import Join, Product
from schedules.cycles import Cycle, Restarts
from schedules.errors import ScheduleError
from schedules.feedback import BoundFeedback, Feedback, Greedy, ReduceOnPlateau
from schedules.fractal import Fractal
from schedules.momentum import Against, Fixed, Momentum
from schedules.one_cycle import OneCycle
from schedules.points import Points, TwoPoint
from schedules.profiles import Profile
from schedules.sampling import At, Every, Sampling
from schedules.schedule import BoundSchedule, Schedule
from schedules.shapes import Once, Shape, StableDecay
from schedules.span import Span
from schedules.warmup import Warmup

__all__ = [
    "Against",
    "AnySchedule",
    "At",
    "BoundFeedback",
    "BoundSchedule",
    "Cycle",
    "Every",
    "Feedback",
    "Fixed",
    "Fractal",
    "Greedy",
    "Join",
    "Momentum",
    "Once",
    "OneCycle",
    "Points",
    "Product",
    "Profile",
    "ReduceOnPlateau",
    "Restarts",
    "Sampling",
    "Schedule",
    "ScheduleError",
    "Shape",
    "Span",
    "StableDecay",
    "TwoPoint",
    "Warmup",
    "from_dict",
    "to_dict",
]
