import torch
from torch import nn
from torch.nn import functional
from worker.tasks import Data, Split, Dataset, Model, Signature
class NoLoss:
    key="a/b"
    def data(self): ...
    def model(self): ...
    def metrics(self,o,t): ...
class BadKey(NoLoss):
    key="no slash"
    def loss(self,o,t,*,label_smoothing): ...
class Good:
    key="toy/good"
    def data(self):
        g=torch.Generator().manual_seed(0); x=torch.randn(64,4,generator=g); y=(x.sum(1)>0).long()
        s=Split(x,y); return Data(s,s,s)
    def model(self): return nn.Linear(4,2)
    def loss(self,o,t,*,label_smoothing): return functional.cross_entropy(o,t,label_smoothing=label_smoothing)
    def metrics(self,o,t): return {"loss":functional.cross_entropy(o,t,reduction="sum")}
class MeanMetrics(Good):
    def metrics(self,o,t): return {"loss":functional.cross_entropy(o,t)}
class NoDevice(Good):
    def loss(self,o,t,*,label_smoothing): return functional.cross_entropy(o,t.float())
class Raises(Good):
    def model(self): raise KeyError("weights")
class Pixels(Good):
    key="toy/pixels"
    def data(self):
        x=torch.zeros(64,3,8,8,dtype=torch.uint8); s=Split(x,torch.zeros(64,dtype=torch.long)); return Data(s,s,s)
    def model(self): return nn.Sequential(nn.Flatten(),nn.Linear(192,2))
WIDE=Model("wide", lambda s: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
