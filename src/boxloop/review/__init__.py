"""Who corrects the proposals: people, in the FiftyOne App or elsewhere, or the truth."""
