"""SimNet, the paper's similarity network (section 3.1), trained without labels.

"SimNet uses ResNet50 as a backbone and structured lifted loss as loss function. Images from the
unlabeled dataset are horizontally split into pairs, and the SimNet is trained on these pairs for
25 epochs." How that is read here, where it leaves a choice:

* *Horizontally split* means a cut along the vertical middle line, into a left and a right half: the
  parts lie side by side, as in a horizontal flip, or NumPy's ``hsplit``. It is also the cut that
  gives similar halves: left and right of a scene share the sky, the ground and the light, top and
  bottom do not. The other reading is ``simnet.halves: top_bottom``.
* The two halves of one image are a positive pair, halves of two images a negative one.
* Halves are cut from the image at the size that features are computed at, so the network meets
  things as large, and as squashed, in training as afterwards.
* There is no embedding layer on top: the paper names none. The loss sees the very vectors that the
  images are ordered by, the input of the backbone's classifying layer (2,048 numbers of ResNet50's
  pooled map), under the same Euclidean distance; and features come from whole images.
"""
