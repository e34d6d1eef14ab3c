"""The node classes of the sandbox: ComfyUI's model-free picture nodes, and a bench of our own."""

from comfynb.sandbox.node import Node
from comfynb.sandbox.nodes import (
    batch_nodes,
    bench_nodes,
    colour_nodes,
    file_nodes,
    mask_nodes,
    scale_nodes,
    transform_nodes,
)

__all__ = ["NODE_CLASSES"]

NODE_CLASSES: dict[str, type[Node]] = {
    node.NAME: node
    for node in (
        file_nodes.LoadImage,
        file_nodes.LoadImageMask,
        colour_nodes.EmptyImage,
        file_nodes.SaveImage,
        file_nodes.PreviewImage,
        file_nodes.SaveImageWebsocket,
        colour_nodes.ImageInvert,
        scale_nodes.ImageScale,
        scale_nodes.ImageScaleBy,
        scale_nodes.ImageScaleToTotalPixels,
        scale_nodes.ImageScaleToMaxDimension,
        colour_nodes.ImageBlend,
        colour_nodes.ImageBlur,
        colour_nodes.ImageSharpen,
        colour_nodes.ImageQuantize,
        transform_nodes.ImageCrop,
        transform_nodes.ImageRotate,
        transform_nodes.ImageFlip,
        batch_nodes.ImageBatch,
        batch_nodes.ImageFromBatch,
        batch_nodes.RepeatImageBatch,
        transform_nodes.ImageStitch,
        transform_nodes.ImagePadForOutpaint,
        mask_nodes.ImageCompositeMasked,
        mask_nodes.ImageColorToMask,
        mask_nodes.ImageToMask,
        mask_nodes.MaskToImage,
        mask_nodes.SolidMask,
        mask_nodes.InvertMask,
        mask_nodes.GrowMask,
        bench_nodes.LabLoader,
        bench_nodes.LabSampler,
        bench_nodes.LabFail,
        bench_nodes.LabLora,
        bench_nodes.LabEncode,
    )
}
"""Every node class by its name."""
