"""Files for other programs: Model Analyzer's tables and folders, HdrHistogram's text, Parquet."""
