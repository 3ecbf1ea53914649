"""Medical imaging: what several modalities share lives here, each modality in a folder of its own."""
