"""The built-in views of the anagram trick: exact ones and turns by any angle.

Visual Anagrams, arXiv:2311.17919; LookingGlass, arXiv:2504.08902.
"""
