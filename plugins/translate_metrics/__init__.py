"""Metrics for evaluation."""

from collections.abc import Mapping

from translate import hookimpl


@hookimpl
def metrics() -> Mapping[str, str]:
    """Offer the metrics."""
    return {
        "l1": "translate_metrics.pixels:L1",
        "psnr": "translate_metrics.pixels:PSNR",
        "ssim": "translate_metrics.pixels:SSIM",
        "ms_ssim": "translate_metrics.multiscale:MSSSIM",
        "perceptual_distance": "translate_metrics.perceptual:PerceptualDistance",
        "segmentation": "translate_metrics.segmentation:Segmentation",
        "cycle_error": "translate_metrics.cycles:CycleError",
        "content_accuracy": "translate_metrics.classes:ContentAccuracy",
        "classification_error": "translate_metrics.classes:ClassificationError",
        "frechet": "translate_metrics.sets:Frechet",
        "fid": "translate_metrics.inception_distance:FID",
        "kid": "translate_metrics.sets:KID",
        "cmmd": "translate_metrics.maximum_mean:CMMD",
        "precision_recall": "translate_metrics.manifolds:PrecisionRecall",
        "copy_distance": "translate_metrics.copies:CopyDistance",
        "bits_per_dim": "translate_metrics.likelihood:BitsPerDimension",
        "elbo": "translate_metrics.likelihood:EvidenceLowerBound",
        "diversity": "translate_metrics.diversity:Diversity",
        "class_diversity": "translate_metrics.class_diversity:ClassDiversity",
    }
