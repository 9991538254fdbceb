"""Settings of an audit that `pxgen app` opens."""

SETTINGS = """
model: {shipped: mnist_vae}
anchors: {shipped: mnist, split: test, limit: 40}
threshold: {name: MeanMax, n_samples: 50, n_repeats: 3}
selectors: [k_center]
n_representatives: 2
output: run
"""
