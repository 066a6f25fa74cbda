"""Write `patients.csv`: scikit-learn's breast cancer table, with hospitals drawn at random."""

import csv

import numpy as np
from sklearn.datasets import load_breast_cancer

HOSPITALS = ["East", "North", "South", "West"]

data = load_breast_cancer()
hospitals = np.random.default_rng(0).choice(HOSPITALS, len(data.target), p=[0.4, 0.3, 0.2, 0.1])
with open("patients.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["patient", "hospital", *data.feature_names, "diagnosis"])
    for row, (values, label) in enumerate(zip(data.data, data.target)):
        writer.writerow([f"P{row:03}", hospitals[row], *values, data.target_names[label]])
