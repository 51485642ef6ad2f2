"""From the official download of a data set to the layout and the label values that the configs expect.

One module for each data set; ``tools/convert_datasets`` are their command lines. None of them imports torch.

``weights_*``, behind ``tools/model_converters``, do the same for published weights.
"""
