"""Data sets of others: npz, npy, MATLAB, csv, PDEBench's HDF5 and neuraloperator's tensors become `OperatorData`."""
