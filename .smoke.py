from nas_core.runs import obtain
from nas_core.experiments import wiring_costs, configs
from nas_core import claims, papers
if __name__=='__main__':
    rec={r: obtain(configs(r,"smoke"),progress=False,jobs=1) for r in wiring_costs.EXPERIMENTS}
    mine=[c for c,k in claims.CHECKS.items() if k.measure.__module__.endswith("wiring_costs")]
    for c in mine:
        v=claims.evaluate(c,rec); print(c,v.verdict,v.value,v.threshold)
    
