"""What choices say of a person, once more in plain Python: what the engine's numbers are held against."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

SLIPS = 0.05
FORGETTING = 0.98


def p_first(z):
    return SLIPS / 2 + (1 - SLIPS) * expit(z)


def posterior(differences, shares):
    """w's likeliest value and Laplace's covariance after choices (share: 1, 0 or 0.5 of a win for the first), the latest last."""
    d, s = np.asarray(differences, dtype=float), np.asarray(shares, dtype=float)
    axes = d.shape[1]
    weight = FORGETTING ** np.arange(len(d) - 1, -1, -1)

    def parts(w):
        z = d @ w
        sigma = expit(z)
        slope = (1 - SLIPS) * sigma * (1 - sigma)
        return p_first(z), slope, slope * (1 - 2 * sigma)

    def loss(w):
        p, slope, _ = parts(w)
        value = w @ w / 2 - weight @ (s * np.log(p) + (1 - s) * np.log1p(-p))
        return value, w - d.T @ (weight * slope * (s / p - (1 - s) / (1 - p)))

    found = minimize(loss, np.zeros(axes), jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 1000})
    p, slope, bend = parts(found.x)
    curve = s * ((slope / p) ** 2 - bend / p) + (1 - s) * ((slope / (1 - p)) ** 2 + bend / (1 - p))
    hessian = np.eye(axes) + (d * (weight * curve)[:, None]).T @ d
    return found.x, np.linalg.inv(hessian)


def best_pair(mean, covariance, features):
    """The two whose choice says most."""
    best, pair = -1.0, None
    for b in range(len(features)):
        for a in range(b):
            d = features[a] - features[b]
            p = p_first(mean @ d)
            says = p * (1 - p) * (d @ covariance @ d)
            if says > best:
                best, pair = says, (a, b)
    return pair


def fixture():
    """Numbers for the engine's test: choices, and what they come to."""
    rng = np.random.default_rng(22)
    cases = []
    for count in (1, 5, 15, 60):
        true = rng.normal(size=6)
        d = rng.normal(size=(count, 6)).round(4)
        won = (rng.random(count) < p_first(d @ true)).astype(float)
        won[rng.random(count) < 0.1] = 0.5
        mean, covariance = posterior(d, won)
        features = rng.normal(size=(5, 6)).round(4)
        cases.append(
            {
                "differences": d.tolist(), "shares": won.tolist(), "mean": mean.tolist(), "covariance": covariance.tolist(),
                "features": features.tolist(), "pair": list(best_pair(mean, covariance, features)),
            }
        )
    return cases


if __name__ == "__main__":
    import json

    print(json.dumps({"source": "benches/evidence/learn/posterior.py", "cases": fixture()}))
