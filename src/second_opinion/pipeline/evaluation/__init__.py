"""Evaluation: what a data set's judgements say of every stage, once its queries were asked."""
