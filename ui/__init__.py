"""Streamlit components that know no domain."""
